"""Photos of any cloud by a pre-trained run: clouds from files, the photographer, and pictures of both."""
