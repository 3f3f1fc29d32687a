"""The parts of fine-tuning, each of which a setting turns on."""
