"""The sections of a report: a file each, whose `content(study)` returns blocks, and their list."""
