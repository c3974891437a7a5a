"""Who answers and who scores: local models, scoring servers, chat APIs. They know nothing of runs, events or routes."""
