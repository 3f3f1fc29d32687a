"""What the results say, in words chosen by rules from the numbers."""
