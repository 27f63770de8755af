"""Bad input of every kind ends in one clear line or an unknown, and leaves everything else as it was."""
