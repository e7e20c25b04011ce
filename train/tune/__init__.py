"""`make train`: a captioner from an encoder, a decoder and pictures with captions."""
