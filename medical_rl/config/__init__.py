"""Configuration: composed by Hydra, completed from the command line, its errors explained."""
