"""Training: `tune` trains on pictures with captions, `demo` makes models/demo with it."""
