"""Weights in and out: others' checkpoints read tensor by tensor, and ours written as a folder for the Hugging Face Hub."""
