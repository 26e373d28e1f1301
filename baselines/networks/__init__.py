"""Networks: one file per family, each making generators, discriminators and, where needed, encoders."""
