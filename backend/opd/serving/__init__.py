"""An OpenAI-compatible endpoint for a model folder; with `prompt_logprobs`, so that it can be a teacher."""
