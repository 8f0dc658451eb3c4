module compute.scaleset.io/control-plane

go 1.26.0

