"""Typesetting: how slides, drawings and charts become a PDF and an editable PPTX, whatever they say."""
