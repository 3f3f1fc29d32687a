"""What a slice looks like against what its header says of sequence and plane."""
