"""What runs inside a sandbox tree: init, zygote, and the runtime of a leaf."""
