"""MLflow: the only room that imports mlflow. It mirrors records and reports and is never read back."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["mirror", "writer"]
