"""Ready graphs, one file each; `catalog/<kind>/<part>.yaml` holds the parts that `use: <kind>/<part>` names."""
