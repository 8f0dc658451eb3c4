-- The health of every kind of compute.scaleset.io. It asks in the order of kstatus, so that Argo CD and Flux say the same;
-- in addition a set whose upgrades are paused while members are outdated is Suspended, as a paused Deployment is.
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is(name, status)
  return conditions[name] ~= nil and conditions[name].status == status
end

local function health(status, name)
  local condition = conditions[name]
  if condition == nil then
    return {status = status, message = "waiting for controller"}
  end
  return {status = status, message = condition.reason .. ": " .. condition.message}
end

if obj.metadata.deletionTimestamp ~= nil then
  if conditions["Ready"] ~= nil and conditions["Ready"].reason == "Deleting" then
    return health("Progressing", "Ready")
  end
  return {status = "Progressing", message = "being deleted"}
end
if obj.status ~= nil and obj.status.observedGeneration ~= nil
    and obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for controller: generation " .. obj.metadata.generation
    .. " is not observed yet"}
end
if is("Reconciling", "True") then
  return health("Progressing", "Reconciling")
end
if is("Stalled", "True") then
  return health("Degraded", "Stalled")
end
if not is("Ready", "True") then
  return health("Progressing", "Ready")
end
if is("UpToDate", "False") and conditions["UpToDate"].reason == "Paused" then
  return health("Suspended", "UpToDate")
end
return health("Healthy", "Ready")
