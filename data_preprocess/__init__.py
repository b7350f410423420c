"""One module or package a data set: `python -m data_preprocess.<set> --source PATH --out DIR`."""
