"""The parts that graphs are composed of: `<kind>/<part>.yaml` is what `use: <kind>/<part>` names."""
