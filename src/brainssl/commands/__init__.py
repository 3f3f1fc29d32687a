"""The commands, a module for each kind; `brainssl.cli` puts them together."""
