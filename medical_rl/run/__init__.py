"""A run on disk and in processes: its folder and manifest, atomic files, processes, progress."""
