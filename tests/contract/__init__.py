"""One suite of checks for every registered plug-in. A package, because its file names stand elsewhere too."""
