"""A run on disk and in processes.

Its folder and manifest, atomic files, processes, progress, the log of a training.
"""
