"""Sets of pictures with captions: one reader a file, one row a format in `formats.py`."""
