"""Files as data sets bring them: tables, JSON, npz, the Hub, images, masks and drawn boxes."""
