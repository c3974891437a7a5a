"""What a teacher that only answers is asked to do beside answering: write prompts, mark drafts, write a guide.

Every instruction is a readable file in `prompts/`; every reply is read strictly, and what cannot be read is set aside
with its reason, never trained on. Texts in, texts out: no tokens, models or files of a run.
"""
