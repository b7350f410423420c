"""Pictures of runs: training curves and boxes, and how a picture looks and is written."""
