"""The log: append, read, topics. Everything here is bounded in time and says what it cannot know."""
