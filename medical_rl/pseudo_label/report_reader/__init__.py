"""What a radiology report says to a yes/no question: affirmed, denied, in doubt, or nothing."""
