"""What an item's pivot changes: its direction is removed, swapped, added or replaced in a layer, beside controls."""
