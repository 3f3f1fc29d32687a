"""What this machine is: device and precision, memory that is kept, seconds an image."""
