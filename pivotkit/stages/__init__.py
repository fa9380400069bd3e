"""One function a stage: from the artifacts before it to its own, unless they are there already."""
