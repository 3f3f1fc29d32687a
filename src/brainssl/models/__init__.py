"""Encoder and classifier, with their files."""
