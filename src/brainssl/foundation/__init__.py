"""What everything stands on: errors, files that are whole or absent, the terminal."""
