"""Volumes: from a series in an archive to grey slices in [0, 1]."""
