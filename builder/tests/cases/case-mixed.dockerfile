from scratch As b
CoPy a /
onBuild rUn x
