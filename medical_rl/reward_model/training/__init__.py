"""R_phi's training process: its request, its plan of steps, its tasks and its optimiser."""
