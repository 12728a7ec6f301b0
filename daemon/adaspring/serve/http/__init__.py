"""The optional HTTP face: Open Inference Protocol v2, in front of the same queue."""
