"""The one door to array libraries: everything above this folder is written against the array API."""
