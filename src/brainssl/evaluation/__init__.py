"""What a classifier said, how good it was, and how far that can be believed."""
