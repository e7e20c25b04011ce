"""The recipe of the demo checkpoint: drawn scenes, a tiny captioner, a LoRA on top of it."""
