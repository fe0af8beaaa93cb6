"""What makes a chapter: claims, exercises, profiles, the chapter loader."""
