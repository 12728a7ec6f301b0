"""The onnxruntime engine; nothing else imports onnxruntime."""
