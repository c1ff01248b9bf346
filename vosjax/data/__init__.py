"""Videos in, clips out: NumPy, Pillow and grain; no JAX and no TensorFlow."""
