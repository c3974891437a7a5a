"""The bundled distillation: task, data, two tiny models and the recipe that makes them."""
