"""Pages and pictures of a set for people: contact sheet, gallery, quality."""
