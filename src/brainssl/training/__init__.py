"""Training: pretraining, linear probe, fine-tuning."""
