"""The API: follows the champion of every task, answers from memory, and logs every answer."""
