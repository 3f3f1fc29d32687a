"""Files in, one manifest and one store of decoded slices out."""
