"""From a run to a model that other programs load, each form verified before it is called done.

    lora     the adapters alone, as PEFT reads them; only where adapters were trained
    merged   a folder with complete weights (safetensors), tokenizer and chat template
    gguf     one file for llama.cpp and what is built on it
    ollama   that file, and a Modelfile with the chat template in Ollama's words

In: a run, a form and a folder that is empty or not there. Out: the folder and an `ExportReport`. What was written is
read back by another reader than the one that wrote it and compared with the run's model on the same text; what cannot
be written faithfully is refused with a sentence, never approximated.

    source      what is exported: the run's model as it was trained
    folders     the two forms for Hugging Face's libraries
    gguf_text   a tokenizer in GGUF's words, or why it cannot be put so
    gguf_file   the file, and the proof that it is the model
    templates   chat templates in Ollama's words
    checks      comparing two models
"""
