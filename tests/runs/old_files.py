"""Files ``config.json`` of earlier versions, which name no kind and hold every field."""

FILES = {  # by the name of their record
    "set_mlp-0602700f4cfa": """
    {"experiment": "set_mlp", "dataset": "mnist", "method": "fixed", "variant": "published",
    "hidden": [1000, 1000, 1000], "density": null, "er_epsilon": 20.0, "activation": "srelu",
    "dropout": 0.3, "draw": "exact", "start": "glorot_uniform", "sparse_output": false,
    "published_srelu": true, "optimiser": "sgd", "epochs": 100, "batch_size": 100,
    "learning_rate": 0.01, "schedule": "constant", "momentum": 0.9, "weight_decay": 0.0002,
    "drop": null, "grow": "random", "drop_fraction": 0.3, "decay": "constant", "new_std": 0.0,
    "regrow_dropped": true, "reset_state": false, "last_epoch": "remove", "gradient_batches": 8,
    "validation": 0, "evaluate_test": true, "limit": null, "per_pixel": false, "fallback": null,
    "seed": 0, "parent": null, "inherits": null, "augmentation": 0.0}
    """,
    "adaptive_topology-0f5728a9d5eb": """
    {"experiment": "adaptive_topology", "dataset": "mnist", "method": "set_rewired", "variant":
    "tuned", "hidden": [1000, 1000, 1000], "density": 0.01, "er_epsilon": null, "activation":
    "srelu", "dropout": 0.1, "draw": "exact", "start": "he", "sparse_output": false,
    "published_srelu": false, "optimiser": "sgd", "epochs": 150, "batch_size": 128,
    "learning_rate": 0.3, "schedule": "cosine", "momentum": 0.9, "weight_decay": 0.0002, "drop":
    null, "grow": "random", "drop_fraction": 0.3, "decay": "constant", "new_std": 0.0,
    "regrow_dropped": true, "reset_state": false, "last_epoch": "remove", "gradient_batches": 8,
    "validation": 0, "evaluate_test": true, "limit": null, "per_pixel": false, "fallback": null,
    "seed": 2, "parent": {"experiment": "adaptive_topology", "dataset": "mnist", "method": "set",
    "variant": "tuned", "hidden": [1000, 1000, 1000], "density": 0.01, "er_epsilon": null,
    "activation": "srelu", "dropout": 0.1, "draw": "exact", "start": "he", "sparse_output": false,
    "published_srelu": false, "optimiser": "sgd", "epochs": 150, "batch_size": 128,
    "learning_rate": 0.3, "schedule": "cosine", "momentum": 0.9, "weight_decay": 0.0002, "drop":
    "sign", "grow": "random", "drop_fraction": 0.3, "decay": "cosine", "new_std": 0.0,
    "regrow_dropped": true, "reset_state": false, "last_epoch": "remove", "gradient_batches": 8,
    "validation": 0, "evaluate_test": true, "limit": null, "per_pixel": false, "fallback": null,
    "seed": 2, "parent": null, "inherits": null}, "inherits": "degrees"}
    """,
    "link_removal-01089f50571a": """
    {"experiment": "link_removal", "dataset": "fashion_mnist", "method": "fixed", "variant":
    "tuned", "hidden": [1000, 1000, 1000], "density": null, "er_epsilon": null, "activation":
    "srelu", "dropout": 0.3, "draw": "exact", "start": "he", "sparse_output": false,
    "published_srelu": false, "optimiser": "sgd", "epochs": 1, "batch_size": 128, "learning_rate":
    0.1, "schedule": "cosine", "momentum": 0.9, "weight_decay": 0.0002, "drop": null, "grow":
    "random", "drop_fraction": 0.3, "decay": "constant", "new_std": 0.0, "regrow_dropped": true,
    "reset_state": false, "last_epoch": "remove", "gradient_batches": 8, "validation": 0,
    "evaluate_test": true, "limit": null, "per_pixel": false, "fallback": null, "seed": 1,
    "parent": {"experiment": "adaptive_topology", "dataset": "fashion_mnist", "method": "fixed",
    "variant": "tuned", "hidden": [1000, 1000, 1000], "density": 0.01, "er_epsilon": null,
    "activation": "srelu", "dropout": 0.1, "draw": "exact", "start": "he", "sparse_output": false,
    "published_srelu": false, "optimiser": "sgd", "epochs": 150, "batch_size": 128,
    "learning_rate": 0.3, "schedule": "cosine", "momentum": 0.9, "weight_decay": 0.0002, "drop":
    null, "grow": "random", "drop_fraction": 0.3, "decay": "constant", "new_std": 0.0,
    "regrow_dropped": true, "reset_state": false, "last_epoch": "remove", "gradient_batches": 8,
    "validation": 0, "evaluate_test": true, "limit": null, "per_pixel": false, "fallback": null,
    "seed": 1, "parent": null, "inherits": null}, "inherits": null, "images": 2000, "draws": 10,
    "points": 21, "radii": [], "radii_l2": [], "steps": 40, "restarts": 1, "queries": 1000}
    """,
}
