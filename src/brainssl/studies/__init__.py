"""The whole comparison: what is compared, its steps, running them, what comes out."""
