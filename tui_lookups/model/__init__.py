"""From a name, a folder or a .gguf file to weights, tokens and forward passes of one model."""
